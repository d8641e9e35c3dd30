"""Candidates in processes of their own, and what is said over their pipes."""
