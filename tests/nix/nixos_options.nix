# What nixpkgs' sd-image.nix has as options, with values that a configuration gives them.
{ lib, ... }:
{
  config = {
    system.build.toplevel = builtins.storePath "@system@";
    sdImage = {
      storePaths = [ (builtins.storePath "@system@") ];
      compressImage = false;
      populateRootCommands = "mkdir -p files/boot; echo kernel > files/boot/kernel";
      rootVolumeLabel = "NIXOS_SD";
      rootPartitionUUID = null;
    };
  };
}
