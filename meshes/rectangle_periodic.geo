// The unit square with a round inclusion of radius r at its centre; opposite sides have matching vertices.
SetFactory("OpenCASCADE");
DefineConstant[ h = 0.05 ];
DefineConstant[ r = 0.3 ];

Rectangle(1) = {0, 0, 0, 1, 1};
Disk(2) = {0.5, 0.5, 0, r};
BooleanFragments{ Surface{1}; Delete; }{ Surface{2}; Delete; }

e = 1e-6;
left() = Curve In BoundingBox{-e, -e, -e, e, 1 + e, e};
right() = Curve In BoundingBox{1 - e, -e, -e, 1 + e, 1 + e, e};
bottom() = Curve In BoundingBox{-e, -e, -e, 1 + e, e, e};
top() = Curve In BoundingBox{-e, 1 - e, -e, 1 + e, 1 + e, e};
Periodic Curve{ right() } = { left() } Translate{1, 0, 0};
Periodic Curve{ top() } = { bottom() } Translate{0, 1, 0};

inclusion() = Surface In BoundingBox{0.5 - r - e, 0.5 - r - e, -e, 0.5 + r + e, 0.5 + r + e, e};
matrix() = Surface{:};
matrix() -= inclusion();

Physical Surface("matrix") = matrix();
Physical Surface("inclusion") = inclusion();
Physical Curve("interface") = Boundary{ Surface{ inclusion() }; };
Physical Curve("left") = left();
Physical Curve("right") = right();
Physical Curve("bottom") = bottom();
Physical Curve("top") = top();

MeshSize{ : } = h;
