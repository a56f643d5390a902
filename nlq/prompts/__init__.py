"""What is said to a language model. The texts stand beside this file; `nlq.draft` puts them together."""
