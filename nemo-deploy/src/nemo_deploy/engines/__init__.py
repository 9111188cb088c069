"""What generates tokens: one protocol, its implementations, and the thread that drives one of them."""
