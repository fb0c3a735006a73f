"""Do the city's hosts meet the controls of MLPS level 3 (GB/T 22239-2019)?"""
