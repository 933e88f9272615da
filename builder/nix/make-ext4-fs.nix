# The ext4 image of a Nix closure and of a populated folder: a drop-in for nixpkgs'
# nixos/lib/make-ext4-fs.nix, with the same arguments and the same single output, one file.
#
# What that function asks for and this one does not need (e2fsprogs, fakeroot, libfaketime, perl,
# zstd) is accepted and ignored. See docs/nix.md.
{
  pkgs,
  lib,
  # Packages whose closure the image holds.
  storePaths,
  # Whether the output is compressed with zstd; it is then called ext4-fs.img.zst.
  compressImage ? false,
  # Shell commands that fill ./files, which becomes the root directory of the image.
  populateImageCommands ? "",
  volumeLabel,
  uuid ? "44444444-4444-4444-8888-888888888888",

  # What the image leaves to write before it is grown, such as "64M".
  freeSpace ? null,
  # How many inodes it leaves for that.
  freeInodes ? null,
  # The key of the directory hash, a UUID; derived from the content if it is not given.
  hashSeed ? null,
  # How large the file system can become without moving anything, such as "1T".
  growTo ? null,
  # Further options of "ext4writer nix", such as [ "--verify" ].
  extraArgs ? [ ],
  # It runs while the image is built, so it is that of the machine that builds.
  ext4writer ? pkgs.buildPackages.callPackage ./package.nix { },
  ...
}:

let
  closureInfo = pkgs.buildPackages.closureInfo { rootPaths = storePaths; };

  option = name: value: lib.optionals (value != null) [ "--${name}=${toString value}" ];

  arguments =
    option "label" volumeLabel
    ++ option "uuid" uuid
    ++ option "free" freeSpace
    ++ option "free-inodes" freeInodes
    ++ option "hash-seed" hashSeed
    ++ option "grow-to" growTo
    ++ extraArgs;
in

pkgs.stdenv.mkDerivation {
  name = "ext4-fs.img${lib.optionalString compressImage ".zst"}";

  # By its path, so that populateImageCommands do not meet the Python and the modules that it needs.
  buildCommand = ''
    (
    mkdir -p files
    ${populateImageCommands}
    )
    # A log is no terminal, whatever Nix shows it on.
    TERM=dumb ${ext4writer}/bin/ext4writer nix --closure ${closureInfo} --files files --output "$out" \
      --workers "$NIX_BUILD_CORES" ${lib.escapeShellArgs arguments}
  '';
}
