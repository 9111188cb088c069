"""Raw web pages made or fetched, packed as WARC."""
