"""`make relay-env`: the lines of the relay's environment that lead it to the deployment."""

import sys

import modal

import modal_app as app


def main() -> int:
    try:
        url = modal.Cls.from_name(app.NAME, "Generation")().generate_game.get_web_url()
    except modal.exception.NotFoundError as error:
        print(f"{error}\nRun `make deploy` first.", file=sys.stderr)
        return 1
    if "generate-game" not in (url or ""):
        print(f"{url}: the relay cannot derive the other endpoints from this address, because Modal has cut the "
              "label. Choose a shorter DEPLOY_NAME.", file=sys.stderr)
        return 1
    print("USE_MODAL=true")
    print(f"MODAL_ENDPOINT={url}")
    print(f"MODAL_INTERNAL_SECRET=…   # what is in the secret {app.INTERNAL_SECRET}; `make setup` showed it once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
