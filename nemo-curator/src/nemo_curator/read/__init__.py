"""Sources of documents: WARC, HTML, JSONL and Parquet, streamed; what cannot be read becomes a reject with its place."""
