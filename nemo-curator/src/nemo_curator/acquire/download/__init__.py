"""Files fetched over HTTP into a folder: retried, resumed, rate-limited, checked, and whole or not there."""
