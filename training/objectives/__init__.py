"""What is minimized: labels and losses of each phase, and the attention masks they need."""
