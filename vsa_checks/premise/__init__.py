"""Operations of vector symbolic architectures on random vectors, and trials of the laws that they follow."""
