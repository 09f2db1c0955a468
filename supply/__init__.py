"""What the project is made of: its packages, their versions and licences."""
