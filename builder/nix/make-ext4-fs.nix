# Makes an ext4 image of a Nix closure and a populated folder: a drop-in replacement for nixpkgs's
# nixos/lib/make-ext4-fs.nix, with the same arguments and the same output, a single file.
# See docs/nix.md.
{
  pkgs,
  lib ? pkgs.lib,
  # Packages whose closure the image holds.
  storePaths,
  # Whether to compress the output with zstd; it is then called ext4-fs.img.zst.
  compressImage ? false,
  # Shell commands that fill ./files, which becomes the root directory of the image.
  populateImageCommands ? "",
  # The label by which the root is found; label is an alias.
  volumeLabel ? null,
  label ? null,
  # A UUID, or "clear", "random" or "time" as in mke2fs; the last two need notReproducible.
  uuid ? "44444444-4444-4444-8888-888888888888",
  notReproducible ? false,

  # Free space in the image before it is grown, such as "64M"; additionalSpace is an alias.
  freeSpace ? null,
  additionalSpace ? null,
  # How many inodes to leave free.
  freeInodes ? null,
  # The size in MiB; "auto" is the smallest that holds everything.
  diskSize ? "auto",
  # Further files: a list of sets with source and target, and optionally mode, user and group.
  contents ? [ ],
  # The NixOS system that becomes the first generation of the image's system profile.
  systemProfile ? null,
  # Whether the image contains Nix's database, and whether it contains the registration, which the
  # first boot loads into a database.
  database ? false,
  registration ? true,
  # The folder for the store paths: "/" for an image to mount at /nix/store, "/store" for /nix.
  storeAt ? "/nix/store",

  # Features to add to the defaults, or to remove with ^, such as [ "^metadata_csum" ].
  features ? [ ],
  # 1024, 2048 or 4096; "auto" is 1024 in images below 512 MiB, as in mke2fs.
  blockSize ? null,
  # Bytes of each block group per inode, such as "64K".
  inodeRatio ? null,
  # The seed of the directory hash, a UUID; derived from the content if not given.
  hashSeed ? null,
  # How large the file system can grow without moving any block, such as "8T".
  growTo ? null,
  # Further options of "ext4writer nix", such as [ "--verify" ].
  extraArgs ? [ ],
  # It runs while the image is built, so it is a package for the build platform.
  ext4writer ? pkgs.buildPackages.callPackage ./package.nix { },

  # Arguments of the old function for its tools, which are not used here.
  e2fsprogs ? null,
  fakeroot ? null,
  libfaketime ? null,
  lkl ? null,
  perl ? null,
  zstd ? null,
}:

let
  # The value of an argument that has two names; null if neither is given.
  either =
    one: other:
    let
      names = builtins.attrNames (one // other);
      given = builtins.filter (value: value != null) (builtins.attrValues (one // other));
    in
    if given == [ ] then
      null
    else if builtins.all (value: value == builtins.head given) given then
      builtins.head given
    else
      throw "make-ext4-fs.nix: ${builtins.concatStringsSep " and " names} have different values";

  imageLabel = either { inherit label; } { inherit volumeLabel; };
  free = either { inherit freeSpace; } { inherit additionalSpace; };

  toList = value: if builtins.isList value then value else [ value ];

  rootPaths =
    if systemProfile == null then storePaths else toList storePaths ++ [ systemProfile ];
  closureInfo = pkgs.buildPackages.closureInfo { inherit rootPaths; };

  option = name: value: lib.optionals (value != null) [ "--${name}=${toString value}" ];
  flag = name: wanted: lib.optionals wanted [ "--${name}" ];

  arguments =
    option "label" imageLabel
    ++ option "uuid" uuid
    ++ flag "not-reproducible" notReproducible
    ++ option "free" free
    ++ option "free-inodes" freeInodes
    ++ option "size" (if diskSize == "auto" then null else "${toString diskSize}M")
    ++ option "contents" (if contents == [ ] then null else "contents.json")
    ++ option "system" systemProfile
    ++ flag "database" database
    ++ flag "no-registration" (!registration)
    ++ option "store-at" (if storeAt == "/nix/store" then null else storeAt)
    ++ option "features" (
      if toList features == [ ] then null else builtins.concatStringsSep "," (toList features)
    )
    ++ option "block-size" blockSize
    ++ option "inode-ratio" inodeRatio
    ++ option "hash-seed" hashSeed
    ++ option "grow-to" growTo
    ++ extraArgs;

  # Sources may be packages, or paths of this host, which are then copied into the store.
  listed = builtins.toJSON (
    map (entry: entry // { source = "${entry.source}"; }) contents
  );

  otherTools = e2fsprogs != null && (pkgs.e2fsprogs or null) != e2fsprogs;

  checked =
    value:
    lib.warnIf otherTools
      "make-ext4-fs.nix: e2fsprogs is ignored, because mke2fs does not run; use features, blockSize and extraArgs instead"
      (
        if imageLabel == null then throw "make-ext4-fs.nix: volumeLabel is missing" else value
      );
in

checked (
  pkgs.stdenv.mkDerivation {
    name = "ext4-fs.img${lib.optionalString compressImage ".zst"}";

    # ext4writer is called by its path, so that its Python is not in PATH of populateImageCommands.
    buildCommand = ''
      if [ -n "''${MKE2FS_CONFIG:-}" ]; then
        echo "warning: MKE2FS_CONFIG is ignored, because mke2fs does not run; use features," \
          "blockSize and extraArgs of make-ext4-fs.nix instead" >&2
      fi
      if declare -F runHook > /dev/null; then runHook preBuild; fi
      img=$out
      (
      mkdir -p ./files
      ${populateImageCommands}
      )
      ${lib.optionalString (contents != [ ]) ''
        printf '%s' ${lib.escapeShellArg listed} > contents.json
      ''}
      # The build log is not a terminal, even if Nix displays it on one.
      TERM=dumb ${ext4writer}/bin/ext4writer nix --closure ${closureInfo} --files files \
        --output "$img" --workers "$NIX_BUILD_CORES" ${lib.escapeShellArgs arguments}
      if declare -F runHook > /dev/null; then runHook postBuild; fi
    '';
  }
)
