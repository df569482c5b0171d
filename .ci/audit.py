"""Looks for known flaws of installed packages with pip-audit: python .ci/audit.py FOLDER.

FOLDER is a site-packages folder. pip-audit by itself says "No known vulnerabilities found" also
where it could not ask about a single package; here that is told as what it is.

Exit codes: 0 for no known flaw, or if the advisories cannot be reached; 1 for a flaw.
"""

from __future__ import annotations

import json
import subprocess
import sys

OWN = "talkmill"  # is not on PyPI


def main(folder: str) -> int:
    """Audit the packages in a folder; return the exit code."""
    command = ["pip-audit", "--path", folder, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = [one for one in json.loads(done.stdout)["dependencies"] if one["name"] != OWN]
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        print(f"skipped: pip-audit could not run here: {last[0]}")
        return 0
    asked = [one for one in packages if "skip_reason" not in one]
    flaws = [(one["name"], one["version"], flaw) for one in asked for flaw in one["vulns"]]
    for name, version, flaw in flaws:
        fixed = ", ".join(flaw["fix_versions"]) or "no version"
        print(f"{name} {version}: {flaw['id']}; fixed in {fixed}")
    if not asked:
        print(f"skipped: no advisory about any of {len(packages)} packages can be reached here")
        return 0
    unknown = sorted(one["name"] for one in packages if "skip_reason" in one)
    print(f"{len(asked)} packages, {len(flaws)} known flaws; not audited: {unknown or 'none'}")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
