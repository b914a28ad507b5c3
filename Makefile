# The words that people and CI both use. `make run` and `make test` do everything they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CLAUDE_VERSION := 2.1.330
CLAUDE_STAMP := .tools/claude-$(CLAUDE_VERSION).stamp
CARGO_DENY_VERSION := 0.20.2
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: check-tools ## Build everything (debug)
	cargo build --locked --workspace --all-targets

.PHONY: tools
tools: $(CLAUDE_STAMP) sandbox-user ## Fetch the Claude CLI, make the sandbox's user

# The CLI is one self-contained file in an npm package; Node is needed only to fetch it.
$(CLAUDE_STAMP):
	@command -v npm >/dev/null || { echo "npm is missing (Node.js 18 or later): it fetches the Claude CLI"; exit 1; }
	mkdir -p .tools/npm
	npm install --prefix .tools/npm --no-audit --no-fund --no-save --ignore-scripts --loglevel=error \
		@anthropic-ai/claude-code@$(CLAUDE_VERSION)
	ln -f .tools/npm/node_modules/@anthropic-ai/claude-code-linux-*/claude .tools/claude
	chmod 755 .tools/claude
	touch $@

# Two versions to test in. Without them everything works and `make test` says what was not tested.
.PHONY: gvisor
gvisor:
	@python3 tests/gvisor/fetch.py .tools/gvisor

.PHONY: sandbox-user
sandbox-user:
	@if [ "$$(id -u)" = 0 ] && ! getent passwd 1000 >/dev/null; then \
		echo "making the sandbox's user (UID 1000)"; \
		useradd --uid 1000 --user-group --no-create-home --shell /usr/sbin/nologin creator; \
	fi

# Tests kill the worker, and fail its system calls, at every step of a save.
.PHONY: strace
strace:
	@command -v strace >/dev/null || { echo "installing strace"; apt-get install -y -qq strace >/dev/null 2>&1 \
		|| { apt-get update -qq && apt-get install -y -qq strace >/dev/null; }; } \
		|| { echo "strace is missing: apt-get install strace"; exit 1; }

# A file system with quotas, and a library that gives a worker a wrong clock. Tests say what they skip.
.PHONY: oddities
oddities:
	@[ "$$(id -u)" != 0 ] || { command -v mkfs.btrfs && ls /usr/lib/*/faketime; } >/dev/null 2>&1 \
		|| { echo "installing btrfs-progs and libfaketime"; \
		{ apt-get install -y -qq btrfs-progs libfaketime || { apt-get update -qq \
		&& apt-get install -y -qq btrfs-progs libfaketime; }; } >/dev/null 2>&1; } \
		|| echo "SKIPPED: btrfs-progs and libfaketime cannot be installed; some tests need them"

.PHONY: check-tools
check-tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or later from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install build-essential"; exit 1; }
	@command -v c++ >/dev/null || { echo "a C++ compiler is missing: apt-get install build-essential"; exit 1; }
	@command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 1; }

.PHONY: run
run: check-tools tools ## Start a worker and generate a game before your eyes (ARGS=--once stops after it)
	cargo build --locked --workspace --bins
	python3 tests/demo/run.py --programs "$(PROGRAMS)" $(ARGS)

.PHONY: lint
lint: check-tools ## Formatting, clippy, documentation, licences and known vulnerabilities
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps --document-private-items
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny@$(CARGO_DENY_VERSION)
	cargo fetch --locked --quiet
	cargo deny --offline --log-level error check licenses bans sources
	@# The list of known vulnerabilities lies on GitHub, which not every machine reaches.
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny --log-level error check advisories; \
	else echo "SKIPPED: known vulnerabilities were not checked, the advisory database cannot be reached from here"; fi

# What the examples of the skills are judged with: a browser, a Japanese font, and the libraries that games name.
SKILLS_STAMP := .tools/skills/stamp
.PHONY: skills-tools
skills-tools: check-tools $(SKILLS_STAMP)
	@python3 -c 'import sys; sys.path.insert(0, "tests/skills"); from judge.cdp import program; program()' 2>/dev/null || { \
		echo "installing chromium-headless-shell and a Japanese font"; \
		packages="chromium-headless-shell fonts-droid-fallback"; \
		apt-get install -y -qq --no-install-recommends $$packages >/dev/null 2>&1 || { apt-get update -qq \
			&& apt-get install -y -qq --no-install-recommends $$packages >/dev/null; }; } \
		|| { echo "a browser is missing: apt-get install chromium-headless-shell fonts-droid-fallback, or set CHROMIUM"; exit 1; }

$(SKILLS_STAMP): tests/skills/package.json tests/skills/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing (Node.js 18 or later): it fetches p5 and three"; exit 1; }
	mkdir -p .tools/skills
	cp $^ .tools/skills/
	npm ci --prefix .tools/skills --no-audit --no-fund --ignore-scripts --loglevel=error
	touch $@

.PHONY: test-skills
test-skills: skills-tools ## The skills: their form, the judge of games, every example played
	cd tests/skills && python3 -m unittest

.PHONY: skills-sheet
skills-sheet: skills-tools ## Play every example in all ways, and write .run/skills/sheet.png
	rm -rf .run/skills
	cd tests/skills && SKILLS=whole python3 -m unittest test_examples && python3 sheet.py

.PHONY: test
test: check-tools tools gvisor strace oddities ## Everything: unit tests, tests from outside, 10 s of each fuzz target, the skills, the demo
	cargo build --locked --workspace --bins
	cargo test --locked --workspace
	$(MAKE) test-modal
	tests/fuzz/run.sh -t 10
	@$(MAKE) --no-print-directory test-skills
	python3 tests/demo/run.py --programs "$(PROGRAMS)" --once

# The real Modal client deploys to a local server, and Modal's own entry point runs what was deployed.
MODAL_STAMP := .tools/modal/stamp
$(MODAL_STAMP): tests/modal/requirements.txt
	python3 -m venv .tools/modal
	.tools/modal/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: test-modal
test-modal: check-tools tools $(MODAL_STAMP) ## The deployment on Modal, tested without an account; part of make test
	cargo build --locked --workspace --bins
	.tools/modal/bin/python -m pytest -q --tb=native -p no:cacheprovider tests/modal $(ARGS)

.PHONY: docs
docs: check-tools ## Write openapi/ and what the documents say from the code
	UPDATE_DOCS=1 cargo test --locked --package dreamcore-tests --test house docs::

.PHONY: attack
attack: check-tools tools gvisor ## Attack the sandbox: the self-test, then the suites on this kernel and in two gVisors
	cargo build --locked --workspace --bins
	@folder="$$(mktemp -d)"; trap 'rm -rf "$$folder"' EXIT; mkdir "$$folder/data" "$$folder/global"; \
	MODAL_INTERNAL_SECRET=only-for-the-self-test-0123456789abcdef DREAMCORE_DATA_DIR="$$folder/data" \
		DREAMCORE_GLOBAL_DIR="$$folder/global" DREAMCORE_SCRATCH_DIR="$$folder/scratch" \
		"$(PROGRAMS)/dreamcore-worker" doctor
	cargo test --locked --workspace --test confinement --test gvisor

# A server in Python that the files section of the bench measures against.
PEERS_STAMP := .tools/peers/stamp
$(PEERS_STAMP): tests/bench/peers/requirements.txt
	python3 -m venv .tools/peers
	.tools/peers/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.PHONY: fuzz
fuzz: check-tools ## Fuzz each target for 60 s (ARGS='-t 600 git'); targets are the folders of tests/fuzz/seeds
	tests/fuzz/run.sh $(or $(ARGS),-t 60)

.PHONY: bench
bench: check-tools tools gvisor $(PEERS_STAMP) ## Measure the worker beside the bare CLI (ARGS='generation --pairs 20')
	cargo build --locked --release --workspace --bins
	"$${CARGO_TARGET_DIR:-target}/release/dreamcore-bench" $(ARGS)

# What one does with the image and with a deployment. DEPLOY_… variables are explained in modal_app.py.

# With buildah as root, without an engine and, if it must be, without a registry: `make image-bases` first.
BUILD := $(if $(shell command -v docker),docker build,BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs buildah bud --layers --format docker)
.PHONY: image
image: ## Build the image dreamcore-worker with docker or buildah
	@command -v docker >/dev/null || command -v buildah >/dev/null || { echo "neither docker nor buildah is there: apt-get install buildah"; exit 1; }
	$(BUILD) -t dreamcore-worker -f image/Dockerfile .

.PHONY: image-bases
image-bases: ## Make the two bases of the image from Debian's packages and this machine's Rust, without a registry
	image/bases.sh

.PHONY: image-run
image-run: ## Run the image here on port 8000 (docker; MODAL_INTERNAL_SECRET and ANTHROPIC_API_KEY from the environment)
	@command -v docker >/dev/null || { echo "docker is missing; without it, make image-test runs the image in gVisor"; exit 1; }
	mkdir -p .run/image/data .run/image/global/.claude && cp -r skills .run/image/global/.claude/
	docker run --rm --init --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
		-p 127.0.0.1:8000:8000 -e MODAL_INTERNAL_SECRET -e ANTHROPIC_API_KEY -e GEMINI_API_KEY \
		-v "$$PWD/.run/image/data:/data" -v "$$PWD/.run/image/global:/global:ro" dreamcore-worker

.PHONY: image-test
image-test: gvisor ## Run a whole generation in the built image, inside gVisor, and show sizes and times
	cargo build --locked -p scripted-api
	python3 tests/modal/image.py --programs "$(PROGRAMS)"

NAME := $(or $(DEPLOY_NAME),dreamcore)
LIVE := PYTHONPATH=. .tools/modal/bin/python tests/modal/live

.PHONY: setup
setup: $(MODAL_STAMP) ## Make the volumes and secrets of a deployment; safe to repeat
	$(LIVE)/setup.py

.PHONY: skills
skills: $(MODAL_STAMP) ## Bring the shared skills on the global volume in step with skills/
	$(LIVE)/skills.py

.PHONY: deploy
deploy: $(MODAL_STAMP) ## Deploy modal_app.py
	@.tools/modal/bin/modal deploy modal_app.py || { echo; echo "Not deployed. A secret or volume that is not found: make setup."; \
		echo "A secret that lacks a key: modal secret create --force NAME KEY=VALUE. A volume of another version: DEPLOY_VOLUME_VERSION=1."; \
		echo "An invalid region: DEPLOY_REGION, or leave it out. No token: .tools/modal/bin/modal setup."; exit 1; }

.PHONY: relay-env
relay-env: $(MODAL_STAMP) ## Show the lines of the relay's environment for the deployment
	@$(LIVE)/relay_env.py

.PHONY: smoke
smoke: ## Check a live deployment (URL=https://WORKSPACE--dreamcore-generate-game.modal.run)
	@python3 tests/modal/live/smoke.py "$(URL)"

.PHONY: logs
logs: $(MODAL_STAMP) ## Follow the log of the deployment
	.tools/modal/bin/modal app logs --follow $(NAME)

.PHONY: rollback
rollback: $(MODAL_STAMP) ## Go back to the deployment before (VERSION=v3 to an earlier one)
	.tools/modal/bin/modal app rollback $(NAME) $(VERSION)

.PHONY: staging
staging: export DEPLOY_NAME := dreamcore-staging
staging: export DEPLOY_INTERNAL_SECRET := modal-internal-secret-staging
staging: ## Set up and deploy a second deployment with names, volumes and a secret of its own
	$(MAKE) setup skills deploy relay-env
