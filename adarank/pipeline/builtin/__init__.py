"""What ships with the project: texts to probe with and questions to learn."""
