"""How good a model is: preferences, answers and text it has not been trained on."""
