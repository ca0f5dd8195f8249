"""Classifying names of points of interest: taxonomies, a linear text model, a fine-tuned BERT, and their evaluation."""
