# The ext4 image of a Nix closure and of a populated folder: a drop-in for nixpkgs'
# nixos/lib/make-ext4-fs.nix, with the same arguments and the same single output, one file.
# See docs/nix.md.
{
  pkgs,
  lib ? pkgs.lib,
  # Packages whose closure the image holds.
  storePaths,
  # Whether the output is compressed with zstd; it is then called ext4-fs.img.zst.
  compressImage ? false,
  # Shell commands that fill ./files, which becomes the root directory of the image.
  populateImageCommands ? "",
  # The label by which the root is found; label is another name for it.
  volumeLabel ? null,
  label ? null,
  # A UUID, or "clear", "random" or "time" as mke2fs has them; the last two need notReproducible.
  uuid ? "44444444-4444-4444-8888-888888888888",
  notReproducible ? false,

  # What the image leaves to write before it is grown, such as "64M"; additionalSpace is another
  # name for it.
  freeSpace ? null,
  additionalSpace ? null,
  # How many inodes it leaves for that.
  freeInodes ? null,
  # The size in MiB; "auto" is the smallest that holds everything.
  diskSize ? "auto",
  # Further files: a list of sets with source and target, and optionally mode, user and group.
  contents ? [ ],
  # The NixOS system that the profile of the image has as its first generation.
  systemProfile ? null,
  # Whether the database of Nix is in the image, and whether the registration is, which the first
  # boot loads into one.
  database ? false,
  registration ? true,
  # Where the store paths lie: "/" for an image that is mounted at /nix/store, "/store" for /nix.
  storeAt ? "/nix/store",

  # Features to add to the default ones, or to drop with ^, such as [ "^metadata_csum" ].
  features ? [ ],
  # 1024, 2048 or 4096; "auto" is 1024 below 512 MiB, as mke2fs has it.
  blockSize ? null,
  # How many bytes of each group there is an inode for, such as "64K".
  inodeRatio ? null,
  # The key of the directory hash, a UUID; derived from the content if it is not given.
  hashSeed ? null,
  # How large the file system can become without moving anything, such as "8T".
  growTo ? null,
  # Further options of "ext4writer nix", such as [ "--verify" ].
  extraArgs ? [ ],
  # It runs while the image is built, so it is that of the machine that builds.
  ext4writer ? pkgs.buildPackages.callPackage ./package.nix { },

  # The tools of the old function; none of them runs here.
  e2fsprogs ? null,
  fakeroot ? null,
  libfaketime ? null,
  lkl ? null,
  perl ? null,
  zstd ? null,
}:

let
  # One value under two names.
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
      throw "make-ext4-fs.nix: ${builtins.concatStringsSep " and " names} say different things";

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

  # Sources may be paths of this host, which then come into the store, or packages.
  listed = builtins.toJSON (
    map (entry: entry // { source = "${entry.source}"; }) contents
  );

  otherTools = e2fsprogs != null && (pkgs.e2fsprogs or null) != e2fsprogs;

  checked =
    value:
    lib.warnIf otherTools
      "make-ext4-fs.nix: e2fsprogs does nothing, for no mke2fs runs; features, blockSize and extraArgs choose what it would"
      (
        if imageLabel == null then throw "make-ext4-fs.nix: volumeLabel is missing" else value
      );
in

checked (
  pkgs.stdenv.mkDerivation {
    name = "ext4-fs.img${lib.optionalString compressImage ".zst"}";

    # By its path, so that populateImageCommands do not meet the Python and the modules that it needs.
    buildCommand = ''
      if [ -n "''${MKE2FS_CONFIG:-}" ]; then
        echo "warning: MKE2FS_CONFIG does nothing, for no mke2fs runs; features, blockSize and" \
          "extraArgs of make-ext4-fs.nix choose what it would" >&2
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
      # A log is no terminal, whatever Nix shows it on.
      TERM=dumb ${ext4writer}/bin/ext4writer nix --closure ${closureInfo} --files files \
        --output "$img" --workers "$NIX_BUILD_CORES" ${lib.escapeShellArgs arguments}
      if declare -F runHook > /dev/null; then runHook postBuild; fi
    '';
  }
)
