"""What a question states, before any SQL: values, codes, numbers, times and grouping words, each with its place."""
