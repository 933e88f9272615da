# ext4writer as a Nix package: pkgs.callPackage ./package.nix { }
{
  lib,
  python3Packages,
}:

let
  project = (builtins.fromTOML (builtins.readFile ../../pyproject.toml)).project;
in

python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  # Without tests, and without untracked files of a working copy.
  src = lib.sourceByRegex ../.. [
    "LICENSE"
    "README\\.md"
    "pyproject\\.toml"
    "(builder|ext4writer)(/[a-z0-9_]+)*"
    "(builder|ext4writer)/([a-z0-9_]+/)*([a-z0-9_]+\\.py|[a-z0-9-]+\\.nix|py\\.typed)"
  ];

  build-system = [ python3Packages.hatchling ];

  dependencies = [
    python3Packages.click
    python3Packages.construct
    python3Packages.crc32c
    python3Packages.rich
    python3Packages.zstandard
  ];

  pythonImportsCheck = [
    "ext4writer_cli.cli"
    "ext4writer"
  ];

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    # No platforms: it runs wherever Python does.
    mainProgram = "ext4writer";
  };
}
