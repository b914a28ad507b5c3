"""`make setup`: makes the volumes and secrets of a deployment on Modal. Safe to repeat: what is there stays.

Keys are taken from the environment of whoever runs it. The secret between relay and worker is made here and
shown once, because Modal does not show the values of secrets.
"""

import os
import secrets as random
import sys

import modal

import modal_app as app


def volume(name: str) -> str:
    modal.Volume.from_name(name, version=app.VOLUME_VERSION, create_if_missing=True).hydrate()
    return f"volume {name}: ready, version {app.VOLUME_VERSION}"


def secret(name: str, keys: list[str], make) -> str:
    """`make` gives the values of a secret that does not exist yet, or raises ValueError."""
    try:
        modal.Secret.from_name(name, required_keys=keys).hydrate()
        return f"secret {name}: ready"
    except modal.exception.NotFoundError:
        values = make()
        modal.Secret.objects.create(name, values)
        return f"secret {name}: made"


def new_internal_secret() -> dict:
    value = random.token_hex(32)
    print(f"MODAL_INTERNAL_SECRET={value}\n  This is shown once. The relay needs it: see `make relay-env`.")
    return {"MODAL_INTERNAL_SECRET": value}


def from_environment(key: str):
    def values() -> dict:
        if not os.environ.get(key):
            raise ValueError(f"set {key} in your environment and run `make setup` again")
        return {key: os.environ[key]}

    return values


def main() -> int:
    steps = [(volume, (f"{app.NAME}-data",)), (volume, (f"{app.NAME}-global",))]
    for name, key, make in [
        (app.INTERNAL_SECRET, "MODAL_INTERNAL_SECRET", new_internal_secret),
        (app.ANTHROPIC_SECRET, "ANTHROPIC_API_KEY", from_environment("ANTHROPIC_API_KEY")),
        (app.GEMINI_SECRET, "GEMINI_API_KEY", from_environment("GEMINI_API_KEY")),
    ]:
        if name != "-":
            steps.append((secret, (name, [key], make)))
    failed = False
    for step, arguments in steps:
        try:
            print(step(*arguments))
        except (modal.exception.Error, ValueError) as error:
            failed = True
            print(f"{step.__name__} {arguments[0]}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
