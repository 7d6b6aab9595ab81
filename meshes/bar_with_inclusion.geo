// A bar, 2 x 1 x 1, with a ball of radius r at its centre; left and right have matching vertices.
SetFactory("OpenCASCADE");
DefineConstant[ h = 0.2 ];
DefineConstant[ r = 0.3 ];

Box(1) = {0, 0, 0, 2, 1, 1};
Sphere(2) = {1, 0.5, 0.5, r};
BooleanFragments{ Volume{1}; Delete; }{ Volume{2}; Delete; }

e = 1e-6;
left() = Surface In BoundingBox{-e, -e, -e, e, 1 + e, 1 + e};
right() = Surface In BoundingBox{2 - e, -e, -e, 2 + e, 1 + e, 1 + e};
bottom() = Surface In BoundingBox{-e, -e, -e, 2 + e, e, 1 + e};
top() = Surface In BoundingBox{-e, 1 - e, -e, 2 + e, 1 + e, 1 + e};
back() = Surface In BoundingBox{-e, -e, -e, 2 + e, 1 + e, e};
front() = Surface In BoundingBox{-e, -e, 1 - e, 2 + e, 1 + e, 1 + e};
Periodic Surface{ right() } = { left() } Translate{2, 0, 0};

inclusion() = Volume In BoundingBox{1 - r - e, 0.5 - r - e, 0.5 - r - e, 1 + r + e, 0.5 + r + e, 0.5 + r + e};
matrix() = Volume{:};
matrix() -= inclusion();

Physical Volume("matrix") = matrix();
Physical Volume("inclusion") = inclusion();
Physical Surface("interface") = Boundary{ Volume{ inclusion() }; };
Physical Surface("left") = left();
Physical Surface("right") = right();
Physical Surface("bottom") = bottom();
Physical Surface("top") = top();
Physical Surface("back") = back();
Physical Surface("front") = front();

MeshSize{ : } = h;
Mesh.MeshSizeFromCurvature = 12;
