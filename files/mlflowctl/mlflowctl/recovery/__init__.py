"""Recovery points: take, check, rehearse and restore them."""
