# For use with nixpkgs's sd-image.nix: ext4writer makes the root partition.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  arguments = config.ext4writer.sdImage;
  root = config.sdImage;
  # sd-image.nix relies on these as well: it decompresses the image and mounts the root by label.
  known = {
    compressImage = root.compressImage;
    label = root.rootVolumeLabel;
    volumeLabel = root.rootVolumeLabel;
  };
  contradicted = builtins.filter (name: (arguments.${name} or known.${name}) != known.${name}) (
    builtins.attrNames known
  );
in
{
  options.ext4writer.sdImage = lib.mkOption {
    type = lib.types.attrsOf lib.types.anything;
    default = { };
    description = "Arguments of make-ext4-fs.nix in addition to those that sdImage sets.";
  };

  config.sdImage = {
    rootFilesystemCreator = ./make-ext4-fs.nix;
    rootFilesystemImage = lib.mkIf (arguments != { }) (
      if contradicted == [ ] then
        pkgs.callPackage ./make-ext4-fs.nix (
          {
            inherit (root) storePaths compressImage;
            populateImageCommands = root.populateRootCommands;
            volumeLabel = root.rootVolumeLabel;
          }
          // lib.optionalAttrs (root.rootPartitionUUID != null) { uuid = root.rootPartitionUUID; }
          // arguments
        )
      else
        throw "ext4writer.sdImage: ${toString contradicted}: set sdImage.compressImage and sdImage.rootVolumeLabel instead"
    );
  };
}
