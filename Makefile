# The words that people and CI both use. `make run` and `make test` do everything they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CLAUDE_VERSION := 2.1.330
CLAUDE := .tools/claude
CARGO_DENY_VERSION := 0.20.2

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: check-tools ## Build everything (debug)
	cargo build --locked --workspace --all-targets

.PHONY: tools
tools: $(CLAUDE) sandbox-user ## Fetch the Claude CLI and make the sandbox's user

# The CLI is one self-contained file in an npm package; Node is needed only to fetch it.
$(CLAUDE): Makefile
	@command -v npm >/dev/null || { echo "npm is missing (Node.js 20 or later): it fetches the Claude CLI"; exit 1; }
	mkdir -p .tools/npm
	npm install --prefix .tools/npm --no-audit --no-fund --no-save --ignore-scripts \
		@anthropic-ai/claude-code@$(CLAUDE_VERSION)
	ln -f .tools/npm/node_modules/@anthropic-ai/claude-code-linux-*/claude $(CLAUDE)
	chmod 755 $(CLAUDE)
	touch $(CLAUDE)

.PHONY: sandbox-user
sandbox-user:
	@if [ "$$(id -u)" = 0 ] && ! getent passwd 1000 >/dev/null; then \
		echo "making the sandbox's user (UID 1000)"; \
		useradd --uid 1000 --user-group --no-create-home --shell /usr/sbin/nologin creator; \
	fi

.PHONY: check-tools
check-tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or later from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install build-essential"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: apt-get install git"; exit 1; }
