# ext4writer as a flake, for the inputs of another flake:
#
#   inputs.ext4writer.url = "git+https://.../ext4writer?dir=builder/nix";
#   inputs.ext4writer.inputs.nixpkgs.follows = "nixpkgs";
{
  description = "Writes finished ext4 images, including images of Nix closures";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "riscv64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forAll =
        make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make nixpkgs.legacyPackages.${system};
          }) systems
        );
      example =
        system: name:
        nixpkgs.lib.nixosSystem {
          inherit system;
          modules = [
            self.nixosModules.${name}
            (./examples + "/${name}.nix")
          ];
        };
    in
    {
      packages = forAll (pkgs: rec {
        ext4writer = pkgs.callPackage ./package.nix { };
        default = ext4writer;
      });

      # makeExt4Fs pkgs { storePaths = [ ... ]; volumeLabel = "root"; ... }
      lib.makeExt4Fs = pkgs: pkgs.callPackage ./make-ext4-fs.nix;

      nixosModules = {
        sd-image = ./sd-image.nix;
        repart = ./repart.nix;
      };

      nixosConfigurations = {
        sd-image = example "aarch64-linux" "sd-image";
        repart = example "x86_64-linux" "repart";
      };
    };
}
