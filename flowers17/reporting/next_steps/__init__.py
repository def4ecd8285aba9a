"""The report's part on what to do next: questions to the study's models, and what follows."""
