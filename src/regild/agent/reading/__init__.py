"""What is in an image, and what that is worth."""
