"""What goes wrong around a training, done for real."""
