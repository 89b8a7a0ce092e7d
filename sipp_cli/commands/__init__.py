"""One small module a command; each has a function `command`."""
