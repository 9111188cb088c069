"""The OpenAI routes: completions, chat completions, tokenize."""
