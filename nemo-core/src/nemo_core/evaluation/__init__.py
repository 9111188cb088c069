"""Measuring a model: likelihood of texts and answers, tasks from local files, and the lm-eval harness."""
