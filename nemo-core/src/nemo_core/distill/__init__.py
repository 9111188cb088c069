"""Knowledge distillation: a student learns the distribution that a teacher gives each next token (Hinton et al. 2015)."""
