"""The exercises' checks, a file for each lesson: a table of misconception -> the wrong answer that it produces."""
