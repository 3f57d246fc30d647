"""Run the study: a grid of notebooks, tasks and seeds under papermill, and what is published of it."""
