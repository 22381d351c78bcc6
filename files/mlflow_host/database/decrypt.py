"""Check that the secrets in the database can be decrypted with the passphrase of this unit.

Prints their number; exits 1 at the first that cannot be decrypted, and names it.
"""

from __future__ import annotations

import sys

import sqlalchemy

from mlflow_host.core import settings


def readable(uri: str) -> int:
    """Decrypt every gateway secret; returns how many there are.

    Args:
        uri: SQLAlchemy URL of the backend store.

    Raises:
        settings.SettingsError: the passphrase does not decrypt one of them.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.crypto import KEKManager, _decrypt_secret

    query = sqlalchemy.text("SELECT secret_id, secret_name, encrypted_value, wrapped_dek, kek_version FROM secrets")
    with sqlalchemy.create_engine(uri).connect() as connection:
        rows = connection.execute(query).all()
    for identifier, name, encrypted, wrapped, version in rows:
        try:
            _decrypt_secret(
                encrypted_value=bytes(encrypted),
                wrapped_dek=bytes(wrapped),
                kek_manager=KEKManager(kek_version=version),
                secret_id=identifier,
                secret_name=name,
            )
        except MlflowException as error:
            raise settings.SettingsError(
                f"secret {name} cannot be decrypted with this KEK passphrase: {error}"
            ) from error
    return len(rows)


def main() -> int:
    """Exit 0 if every secret can be decrypted."""
    try:
        settings.apply()
        print(f"{readable(settings.required('MLFLOW_BACKEND_STORE_URI'))} secrets can be decrypted")
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
