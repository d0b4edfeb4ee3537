"""Texts: files, blocks, segments, words."""
