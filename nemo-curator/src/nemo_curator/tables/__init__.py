"""Documents with every column that their owner gave them: read, passed through steps, written, in bounded memory."""
