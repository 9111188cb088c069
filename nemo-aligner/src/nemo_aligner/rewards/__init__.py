"""What an answer is worth: verifiable rewards, the recipe's mixture of them, and the protocol for your own."""
