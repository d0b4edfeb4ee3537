"""Ingestion by many processes and machines, with Ray Data; see `ingest`."""

from larimar_memory.distributed.ingesting import Ingested as Ingested
from larimar_memory.distributed.ingesting import ingest as ingest
from larimar_memory.distributed.merging import merged as merged
