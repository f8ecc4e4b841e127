"""What tests share: small networks, images and files made on the spot, servers."""
