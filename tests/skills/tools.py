"""Where the tests find what `make skills-tools` fetched, and where they put their pictures."""

import os

from form import ROOT

LIBRARIES = ROOT / ".tools/skills/node_modules"
OUTPUT = ROOT / ".run/skills"
# The whole takes longer: see `Judge.judge`.
QUICK = os.environ.get("SKILLS") != "whole"
