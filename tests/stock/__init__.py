"""This project's server beside a stock one: the questions, and the differences that stay."""
