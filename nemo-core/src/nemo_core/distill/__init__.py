"""Knowledge distillation: a student learns a teacher's next-token distributions (Hinton et al. 2015)."""
