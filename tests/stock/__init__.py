"""This project's server compared with a stock one: the requests, and the accepted differences."""
