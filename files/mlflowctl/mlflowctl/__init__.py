"""Operations on a host that serves MLflow: take, check, rehearse and restore recovery points."""
