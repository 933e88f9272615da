# ext4writer as a package of Nix: pkgs.callPackage ./package.nix { }
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

  # No tests, and nothing that a working copy gathers.
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
    # On every platform that Python runs on.
    mainProgram = "ext4writer";
  };
}
