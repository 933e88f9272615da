# The little of nixpkgs that our expressions ask for, made of plain derivations: so a real Nix can
# evaluate and build them without a network. The names and what they do are nixpkgs' own.
{
  # A Python that has what ext4writer depends on.
  python,
}:

let
  pkgs = {
    inherit lib stdenv python3Packages pkgs;
    buildPackages = { inherit callPackage closureInfo; };
    # What callers of the old function have in their scope.
    e2fsprogs.bin = "/usr";
    libfaketime = "/usr";
  };

  callPackage =
    path: overrides:
    let
      function = import path;
    in
    function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // overrides);

  lib = rec {
    optionals = condition: values: if condition then values else [ ];
    optionalString = condition: value: if condition then value else "";
    escapeShellArg = value: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString value)}'";
    escapeShellArgs = values: builtins.concatStringsSep " " (map escapeShellArg values);
    sourceByRegex =
      root: patterns:
      let
        skipped = builtins.stringLength (toString root) + 1;
        accepts = path: pattern: builtins.match pattern (builtins.substring skipped (-1) path) != null;
      in
      builtins.path {
        name = "source";
        path = root;
        filter = path: _: builtins.any (accepts path) patterns;
      };
    licenses.mit.spdxId = "MIT";
    warnIf =
      condition: text: value:
      if condition then builtins.trace "warning: ${text}" value else value;
  };

  stdenv.mkDerivation =
    {
      nativeBuildInputs ? [ ],
      buildCommand,
      ...
    }@arguments:
    derivation (
      removeAttrs arguments [ "nativeBuildInputs" ]
      // {
        system = builtins.currentSystem;
        builder = "/bin/bash";
        args = [
          "-euc"
          "umask 022; eval \"$buildCommand\""
        ];
        PATH = builtins.concatStringsSep ":" (map (each: "${each}/bin") nativeBuildInputs ++ [ "/usr/bin:/bin" ]);
        SOURCE_DATE_EPOCH = "315532800";
        NIX_BUILD_CORES = "2";
      }
    )
    // {
      overrideAttrs = change: stdenv.mkDerivation (arguments // change arguments);
    };

  # As that of nixpkgs: the files store-paths, registration and total-nar-size.
  closureInfo =
    { rootPaths }:
    derivation {
      name = "closure-info";
      system = builtins.currentSystem;
      builder = python;
      args = [ ./closure_info.py ];
      __structuredAttrs = true;
      exportReferencesGraph.closure = rootPaths;
    };

  # The package as it comes from the source of the expression, with no other file of the project.
  python3Packages =
    builtins.listToAttrs (
      map
        (name: {
          inherit name;
          value = name;
        })
        [
          "click"
          "construct"
          "crc32c"
          "hatchling"
          "rich"
          "zstandard"
        ]
    )
    // {
      buildPythonApplication =
        { pname, version, src, ... }@arguments:
        stdenv.mkDerivation {
          name = "${pname}-${version}";
          buildCommand = ''
            mkdir -p "$out/bin"
            cat > "$out/bin/${pname}" <<'END'
            #!/bin/sh
            export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${src}:${src}/builder
            exec ${python} -c 'from ext4writer_cli.cli import main; main()' "$@"
            END
            chmod +x "$out/bin/${pname}"
          '';
        }
        // {
          inherit arguments;
        };
    };
in
pkgs // { inherit callPackage; }
