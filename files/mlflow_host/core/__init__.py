"""What the other packages need: settings, known texts of the release, and the words that nginx reads."""
