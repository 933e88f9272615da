"""What nixpkgs' ``closureInfo`` computes from the graph that Nix passes to a builder."""

import json
from pathlib import Path

attributes = json.loads(Path(".attrs.json").read_text())
closure = attributes["closure"]
out = Path(attributes["outputs"]["out"])
out.mkdir()
lines: list[object] = []
for entry in closure:
    references = entry["references"]
    lines += [entry["path"], entry["narHash"], entry["narSize"], "", len(references), *references]
(out / "registration").write_text("".join(f"{line}\n" for line in lines))
(out / "store-paths").write_text("".join(f"{entry['path']}\n" for entry in closure))
(out / "total-nar-size").write_text(f"{sum(entry['narSize'] for entry in closure)}\n")
