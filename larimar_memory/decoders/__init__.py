"""Language models, and the prompts that ground them."""
