"""Sources of documents: WARC, HTML, JSONL and Parquet, streamed; what cannot be read is a reject with its place."""
