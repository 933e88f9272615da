# Beside nixpkgs' sd-image.nix: ext4writer makes the root partition.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  arguments = config.ext4writer.sdImage;
  root = config.sdImage;
in
{
  options.ext4writer.sdImage = lib.mkOption {
    type = lib.types.attrsOf lib.types.anything;
    default = { };
    description = "Arguments of make-ext4-fs.nix beside those that sdImage knows.";
  };

  config.sdImage = {
    rootFilesystemCreator = ./make-ext4-fs.nix;
    rootFilesystemImage = lib.mkIf (arguments != { }) (
      pkgs.callPackage ./make-ext4-fs.nix (
        {
          inherit (root) storePaths compressImage;
          populateImageCommands = root.populateRootCommands;
          volumeLabel = root.rootVolumeLabel;
        }
        // lib.optionalAttrs (root.rootPartitionUUID != null) { uuid = root.rootPartitionUUID; }
        // arguments
      )
    );
  };
}
